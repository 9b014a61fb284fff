"""Where the values are: the elements of a space and their neighbours, images on disk, clusters, atlases."""
