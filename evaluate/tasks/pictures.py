"""Whether a vignette points at something that is not in its text: a picture, a graph, a tracing, a summary.

"An ECG is shown." points; "the ECG shows a long PR interval" and "results are shown below: sodium 138" are findings in
words and do not. The rules were written by reading one half of MedQA's test questions and tried on the other half.
"""

from __future__ import annotations

import re

_THING = r"(?:images?|pictures?|exhibit|photographs?|photos?|photomicrographs?|micrographs?|figures?|diagrams?|graphs?)"
_SCAN = (
    r"(?:ecgs?|ekgs?|eegs?|electrocardiogra\w+|x[-‑ ]?rays?|radiographs?|radiography|ct|mri|scans?|ultraso\w+|"
    r"tracings?|echocardiogra\w+|smears?|biops\w+|photo\w*|images?|imaging|histolog\w+|angiogra\w+|endoscop\w+|rash|lesions?|"
    r"karyotype|pedigree|curves?|loops?|strips?|graphs?|specimens?|slides?|stains?|sections?)"
)
_PUT = r"(?:shown|seen|see|presented|given|provided|depicted|displayed|demonstrated|illustrated|offered)"
_ALWAYS = re.compile(
    rf"\b(?:in|see|to|by|from|on|as) (?:the |this |an? )?(?:\w+ )?{_THING}(?=[^\w-]|$)(?! of)"
    rf"|\b{_THING} (?:[A-D]|[1-9])\b|\b{_THING} (?:below|above|shows?|depicts?)\b"
    r"|\barrow(?:s|heads?)?\b|\bdepicted\b|\bpictured\b|\basterisk|\b(?:dashed|dotted) (?:line|curve)"
    r"|\b(?:marked|labell?ed|indicated|designated) (?:with |by |as )?(?:the |an? )?(?:letter|number|which|[A-Z]\b)"
    r"|\bpoint [A-Z] (?:in|on|of)\b|\bshown (?:on|in|at|by) (?:the|this|his|her)\b(?! (?:following|table))",
    re.I,
)
_SHOWN = re.compile(
    r"\b(?:is|are|was|were|and|as|been) shown"
    r"(?: (?:here|with|for|as|at|in|below|above|on|by (?:the|an?|\w+ arrows?))\b|[^\w ]|$)"
    rf"|\b{_PUT} (?:here|below|above)\b|\b{_SCAN}\b[^.]{{0,60}} (?:is|are) {_PUT}(?: (?:here|below))?[.?:]",
    re.I,
)
_VALUES = re.compile(r"^[^?]{0,110}?(?:\d|\b(?:positive|negative|normal)\b)", re.I)
_IS_SCAN = re.compile(rf"\b{_SCAN}\b[^.,:]*$", re.I)
_SUMMARY = re.compile(r"\b(?:summary|abstract|vignette|passage|case) (?:given |shown )?above\b", re.I)
_HAS_SUMMARY = re.compile(r"\b(?:Methods?|Results?|Conclusions?|Background)\s*:", re.I)


def points_at_picture(vignette: str) -> bool:
    """Whether a text points at a picture, graph or table that it does not bring."""
    return bool(_ALWAYS.search(vignette)) or any(
        # what is "shown" may follow in words; a scan does not, whatever values stand behind it
        _IS_SCAN.search(vignette[: match.end()].rstrip(" .,:;?)")) or not _VALUES.match(vignette[match.end() - 1 :])
        for match in _SHOWN.finditer(vignette)
    )


def points_at_summary(vignette: str) -> bool:
    """Whether a text points at a summary "above" that it does not bring."""
    return bool(_SUMMARY.search(vignette)) and not _HAS_SUMMARY.search(vignette)
