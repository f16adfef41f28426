"""The networks that reskeras is timed against, each written in the idiom of its own library."""
