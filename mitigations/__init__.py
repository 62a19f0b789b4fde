"""What may close the gap and keep the warmth: one module for each recipe, and the statistics that compare them.

A recipe adds to the data (``truth_mix``), changes how it is trained on (``inoculation``, ``kl_anchor``,
``preventative_steering``), trains on from the warm arm (``consistency``, ``anti_sycophancy``), makes another adapter
of what was trained (``early_stop``, ``adapter_scale``) or only asks (``honest_prompt``). ``warmgap.arms.chain`` chains
them.
"""
