"""Readers of annotated images: a format a file, each a row of `reskeras.readers`; and writers of some of them."""
