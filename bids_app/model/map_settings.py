"""Settings of what is done to every map before the model, and the base of all settings."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_pascal

Text = Annotated[str, Field(min_length=1)]
AtlasName = Literal["aal", "desikan_killiany", "harvard_oxford"]


class Settings(BaseModel):
    """Base of the JSON objects below: frozen, no unknown keys, keys in PascalCase."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_pascal,
        populate_by_name=True,
        use_attribute_docstrings=True,
        field_title_generator=lambda name, _: to_pascal(name),
        allow_inf_nan=False,
    )


class SmoothingSettings(Settings):
    """Smoothing of the maps before the model."""

    fwhm: Annotated[float, Field(gt=0, le=100, alias="FWHM", title="FWHM")]
    """Full width at half maximum of the Gaussian, in mm."""


class ParcelSettings(Settings):
    """Parcels: maps are averaged over the regions of an atlas."""

    atlas: AtlasName | None = None
    """Atlas that comes with the app, for maps in MNI space; null: that of Image."""
    image: Text | None = None
    """Image of an atlas on the grid of the maps, a whole number for each region; from the model file's folder."""
    labels: Text | None = None
    """Table of its regions, with columns index and name as BIDS has them; null: regions are named by their numbers."""

    @model_validator(mode="after")
    def _is_of_one_atlas(self) -> Self:
        """Refuse none and two."""
        if self.atlas is None and self.image is None and self.labels is None:
            raise ValueError('no atlas is named; expected one of the built-in ones, such as {"Atlas": "aal"}, or '
                             '{"Image": "atlas.nii.gz", "Labels": "atlas.tsv"}')  # fmt: skip
        if self.atlas is not None and (self.image is not None or self.labels is not None):
            raise ValueError("Atlas names one of the built-in ones, whose image and labels are known; "
                             "write Atlas, or Image and Labels")  # fmt: skip
        if self.labels is not None and self.image is None:
            raise ValueError("Labels belong to an Image, which is not named")
        return self

    @property
    def words(self) -> str:
        """The atlas, for a sentence."""
        return f"the atlas {self.atlas}" if self.atlas else f"the atlas image {PurePath(str(self.image)).name}"
