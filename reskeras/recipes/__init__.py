"""Recipes: how a network is trained, as data; the YAML files beside this one are those that come with reskeras."""
