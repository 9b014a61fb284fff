"""The input images: found, selected, checked and read; and the participants table."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["load_maps"],
    submod_attrs={
        "analysis_mask": ["MaskChoice"],
        "choose_and_order_maps": ["find_maps", "InputMaps", "search"],
        "contrast_names": ["NamesFile", "NATIVE", "program_map", "ProgramMap", "read_names"],
        "columns": [
            "column_or_indicator",
            "is_number",
            "is_numeric",
            "level_of",
            "levels_column",
            "nines",
            "numbers_in_disguise",
            "numeric_column",
            "Participants",
            "text_column",
        ],
        "filters": ["command_line_filters", "Filter", "fold", "folds", "keep", "known_entities", "narrow"],
        "find_images": ["Found", "NOT_UTF8"],
        "formulas": ["formula_columns", "spellings"],
        "handed_over": ["labels_of_pattern", "Offer", "offer_maps", "sessions_as_conditions"],
        "hemispheres": ["pair_by_name"],
        "load_maps": ["as_image", "keep_voxels"],
        "map_kinds": ["without_copies"],
        "map_patterns": ["find_by_patterns", "PatternMatch", "to_expression"],
        "map_reader": ["BeforeModel", "MaskedMaps"],
        "maps_rows": ["read_rows", "read_standard_input"],
        "naming": ["conditions_of", "ESTIMATES", "ImageFile", "KIND_WORDS", "MEASURES", "SourceDataset", "tally"],
        "participants": ["find_participants", "not_analysed", "with_zeros"],
        "parts": ["is_entity", "parts_of"],
        "selection": ["Query", "read_filter_file", "Selection"],
        "session_tables": ["with_columns_of_sessions"],
        "transformations": ["transform", "with_column"],
        "tsv": ["read_tsv"],
        "validator": ["advisory_validation"],
    },
)
