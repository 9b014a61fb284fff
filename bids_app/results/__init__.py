"""What a run finds out, as values, and as files that are written and read back."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "dataset_description": ["write_dataset"],
        "files": ["write_json", "write_text"],
        "folder": ["check_layout", "check_writable", "NodeFolder", "remove_abandoned", "stays_in_container"],
        "input_summary": ["count_files", "InputSummary", "summarise"],
        "json_record": ["Json"],
        "map_files": ["MapFolder", "MapWriter"],
        "names": ["PARCEL_TABLE", "type_on_disk"],
        "node_writer": ["NodeWriter"],
        "read": [
            "NodeRecord",
            "read_picture",
            "read_record",
            "read_results",
            "SavedNode",
        ],
        "read_domain": ["read_domain", "read_regions"],
        "record": ["encode_results", "remove_record", "write_record", "write_run_record"],
        "sidecars": ["is_within"],
        "smoothness_file": ["write_smoothness"],
        "values": [
            "GrayordinateFacts",
            "NodeFacts",
            "ParcelFacts",
            "Picture",
            "Results",
            "RunFacts",
            "SurfaceFacts",
        ],
        "write": ["is_mni152", "write_conditions", "write_contrast", "write_design", "write_inputs"],
    },
)
