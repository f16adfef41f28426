"""Documents: YAML files with line numbers, validated field by field, and those that come with reskeras."""
