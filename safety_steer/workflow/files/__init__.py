"""The files workflows come in: JSON in anybody's layout, wrapped in other objects, or within a picture or a video."""
