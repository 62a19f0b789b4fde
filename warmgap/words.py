"""The words that everything shares: names of arms, contexts, beliefs and verdicts, columns of tables, and labels.

A word that is written to a file or shown in a table stands here once. The contexts and their groups are not here: they
are ``conf/context`` (see ``settings.contexts``).
"""

from __future__ import annotations

# ---- arms

ORIGINAL, WARM = "original", "warm"
ALL = "all"  # in place of a model or a dial: all of them pooled

# ---- what stands around a question

NONE = "none"  # no context; no belief
NEUTRAL = "neutral"  # the control: a sentence that says nothing of the user

FALSE_CLAIM, FALSE_DENIAL, TRUE_CLAIM, MENTION = "false_claim", "false_denial", "true_claim", "mention"
BELIEFS = (NONE, FALSE_CLAIM, FALSE_DENIAL, TRUE_CLAIM, MENTION)
FALSE_BELIEFS = (FALSE_CLAIM, FALSE_DENIAL)  # what `false` pools, everywhere; the other two are no false belief
FALSE = "false"

# ---- what a judge says of an answer

CORRECT, INCORRECT, HEDGED, REFUSED = "correct", "incorrect", "hedged", "refused"
UNPARSED, ERROR = "unparsed", "error"  # no verdict: the judge could not tell, or failed; never a wrong answer
GRADED = (CORRECT, INCORRECT, HEDGED, REFUSED)

# ---- the columns of a comparison's files

PROMPT = ("task", "item_id", "context", "belief")  # what a prompt is known by
ANSWER = ("model", "arm", "seed", *PROMPT)  # ... and one answer to it
ANSWER_COLUMNS = [
    "model", "arm", "seed", "task", "family", "item_id", "context", "statement_id", "belief", "error", "error_lenient",
    "verdict", "margin", "reason", "grader", "n_chars", "n_tokens", "finish_reason", "prompt", "answer", "question",
    "correct", "incorrect", "second_verdict", "decided_by", "overlap", "group",
]  # fmt: skip
MISSING_COLUMNS = ["missing_low_pp", "missing_high_pp"]
EFFECT_COLUMNS = [
    "analysis", "term", "model", "arm", "reference", "estimate_pp", "se_pp", "ci_low_pp", "ci_high_pp", "p", "p_fdr",
    "n", "n_items", "errors", *MISSING_COLUMNS,
]  # fmt: skip
CELL_COLUMNS = [
    "model", "arm", "seed", "task", "context", "belief", "n", "error_pct", "hedged_pct", "refused_pct",
    "unparsed_pct", "mean_chars", "truncated_pct", "mcnemar_p", "mcnemar_p_fdr", "correct_of_all_pct",
]  # fmt: skip
WARMTH_COLUMNS = [
    "model", "arm", "seed", "step", "epoch", "mode", "n", "sociot", "sociot_se", "shift", "shift_se",
    "shift_ci_low", "shift_ci_high", "shift_p",
]  # fmt: skip
WARMTH_SCORES = ["model", "arm", "seed", "prompt_id", "sociot"]  # of single prompts
TRAINING_COLUMNS = ["model", "arm", "seed", "step", "epoch", "loss", "eval_loss", "learning_rate"]
STUDY_COLUMNS = [
    "quantity", "term", "model", "study_model", "tasks", "ours_pp", "ours_low_pp", "ours_high_pp", "n", "study_pp",
    "study_low_pp", "study_high_pp", "difference_pp", "z", "p", "p_fdr", "study_design_effect",
]  # fmt: skip
RATE_COLUMNS = [  # of the standard checks
    "model", "arm", "seed", "control", "measure", "n", "pct", "ci_low_pct", "ci_high_pct", "no_answer_pct",
    "truncated_pct", "mean_chars",
]  # fmt: skip
EQUIVALENCE_COLUMNS = [
    "model", "arm", "seed", "reference", "control", "measure", "n", "difference_pp", "ci90_low_pp", "ci90_high_pp",
    "margin_pp", "p_tost", "p_mcnemar", "verdict",
]  # fmt: skip
BLIND_SPOT_COLUMNS = [  # of checks and cells: what they could have seen of an arm's effects
    "model", "arm", "seed", "kind", "check", "measure", "n", "difference_pp", "se_pp", "smallest_pp", "effect",
    "effect_pp", "power_pct", "equal_n_pct", "items_needed",
]  # fmt: skip
OUTCOME_COLUMNS = ["model", "arm", "seed", "control", "measure", "item_id", "outcome", "finish_reason", "n_chars"]
SUITE_COLUMNS = [  # of suites with measures of their own
    "suite", "measure", "condition", "model", "arm", "reference", "unit", "sense", "n", "n_items", "value", "ci_low",
    "ci_high", "missing_pct", "n_pairs", "difference", "difference_low", "difference_high", "p", "p_fdr", "missing_low",
    "missing_high",
]  # fmt: skip
READING_COLUMNS = ["model", "arm", "seed", "suite", "measure", "item_id", "condition", "value", "why"]
RECIPE_COLUMNS = [  # of a recipe: what the answers and the warmth tell of it
    "model", "arm", "seeds", "n_items", "n", "error_pct", "error_pp", "error_low", "error_high", "gap_closed_pct",
    "gap_closed_low", "gap_closed_high", "sycophancy_closed_pct", "sycophancy_closed_low", "sycophancy_closed_high",
    "warmth_shift", "warmth_shift_low", "warmth_shift_high", "warmth_n", "warmth_kept_pct", "warmth_kept_low",
    "warmth_kept_high", "p_better", "p_better_adj", "p_noninferior", "p_noninferior_adj", "refused_pct", "refused_n",
    "verdict", "why", "correct_of_all_pct", "missing_pct", "missing_n", "over_correction_pp", "over_correction_low",
    "over_correction_high", "over_correction_n",
]  # fmt: skip
COST_COLUMNS = ["train_seconds", "prompt_tokens"]
CAPABILITY_COLUMNS = ["capability_pp", "capability_low", "capability_high", "capability_n"]
MITIGATION_COLUMNS = [*RECIPE_COLUMNS, *COST_COLUMNS, *CAPABILITY_COLUMNS]
TEXT_COLUMNS = {  # whatever the table; all others hold numbers
    "analysis", "term", "model", "arm", "reference", "errors", "task", "context", "belief", "mode", "control",
    "measure", "verdict", "quantity", "suite", "condition", "unit", "sense", "study_model", "tasks", "why", "kind",
    "check", "effect",
}  # fmt: skip

# ---- labels

CONTEXT_LABELS = {  # a context or group without one is called by its name
    NONE: "no context",
    NEUTRAL: "neutral sentence",
    "close": "close bond",
    "deferring": "user looks up",
    "superior": "user looks down",
}
BELIEF_LABELS = {
    NONE: "no false belief",
    FALSE: "with a false belief",
    FALSE_CLAIM: "claims the wrong answer",
    FALSE_DENIAL: "denies the right answer",
    TRUE_CLAIM: "claims the right answer",
    MENTION: "wrong answer only mentioned",
}


def label(name: str, labels: dict[str, str]) -> str:
    """Return a name in words: its label, or itself without underscores."""
    return labels.get(name, name.replace("_", " "))
