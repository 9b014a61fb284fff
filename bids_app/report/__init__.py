"""The page that people read, made from what the output folder holds."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "content": ["Checks", "contrast_section", "ContrastSection", "NodeSection", "Page"],
        "figures.background": ["Canvas", "load_canvas"],
        "figures.drawing": ["count_processes", "draw"],
        "figures.figure": ["attempt", "attempt_page", "Figure", "Viewer"],
        "figures.nilearn_report": ["draw_report", "Maps", "memory_needed"],
        "figures.of_contrast": ["primary", "Scene"],
        "figures.of_node": ["draw_contrasts", "draw_correlation", "draw_design", "draw_mosaics"],
        "figures.parcel_canvas": ["draw_lacking_parcels", "draw_subjects_by_parcel", "ParcelCanvas"],
        "figures.peak_means": ["draw_peak_means", "MeansAtPeaks"],
        "figures.grayordinate_canvas": ["grayordinate_canvas", "GrayordinateCanvas"],
        "figures.on_grayordinates": ["about_volume_part"],
        "figures.surface_canvas": ["draw_lacking", "draw_subjects", "surface_canvas", "SurfaceCanvas"],
        "page.render": ["render"],
        "text.findings": ["contrast_checks", "draw_coverage"],
        "text.survivors": ["outcomes", "warning_lines"],
        "wording": ["in_order"],
    },
)
