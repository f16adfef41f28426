"""YAML documents that come with reskeras."""
