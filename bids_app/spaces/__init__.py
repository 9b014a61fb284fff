"""Where the values are: the elements of a space and their neighbours, images on disk, clusters, atlases."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "adjacency": ["Adjacency"],
        "atlas_catalogue": ["ATLASES", "first_atlas", "SURFACE_LABELS"],
        "atlas_images": ["load_atlas_image"],
        "atlases": ["Atlas", "label_cluster", "label_peak", "load_atlases", "space_has_atlases"],
        "clusters": ["cluster_values", "label_components", "list_maxima"],
        "domain": ["Element", "ENDINGS", "Part", "Piece", "PLURALS", "SizeUnit", "SpatialDomain"],
        "frame": ["Frame", "MapData", "MapPlace", "VolumeFrame"],
        "graph": ["GraphDomain"],
        "grayordinate_domain": ["GrayordinateDomain"],
        "grayordinate_frame": ["GrayordinateFrame", "read_grayordinate_map"],
        "grayordinates": ["Grayordinates", "read_dscalar", "write_dscalar"],
        "image_files": ["compress", "image_bytes", "open_image", "UNREADABLE"],
        "image_pairs": ["AfniHeader", "image_parts", "is_afni", "is_pair", "read_afni_header", "volume_number"],
        "map_files": ["read_map"],
        "parcel_means": ["average_by_label", "LEAST_PERCENT", "ParcelMeans", "regions_of"],
        "parcel_maps": ["is_table", "ParcelFrame", "ParcelRegions"],
        "parcels": ["ParcelDomain", "Parcels", "read_parcel_table", "read_pscalar", "table_text"],
        "smoothing": ["fwhm_in_voxels", "MaskSmoother"],
        "surface": [
            "BUILT_IN",
            "built_in_meshes",
            "HEMISPHERES",
            "in_mni152",
            "is_of_fsaverage",
            "Mesh",
            "SurfaceDomain",
            "SurfaceFrame",
        ],
        "surface_files": ["mesh_bytes", "read_labels", "read_mesh"],
        "surface_labels": ["labels_of_rows", "SurfaceLabels"],
        "tfce": [
            "check_exponents",
            "DEFAULT_EXPONENTS",
            "default_exponents",
            "enhance",
            "largest_tfce",
            "Scratch",
            "scratch_for",
        ],
        "topology": ["LatticeTopology", "Topology"],
        "tree_kernels": ["Exponents"],
        "volume": [
            "Grid",
            "Image",
            "nearest_on_grid",
            "read_image",
            "read_volume",
            "share_beyond",
            "unmask",
            "voxel_sizes_mm",
            "VolumeData",
            "VolumeDomain",
        ],
    },
)
