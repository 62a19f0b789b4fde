"""Supervised training with less arithmetic and the same result: TRL's losses, batches and steps, equal within rounding.

``rows`` lays the rows of a micro-batch end to end, without padding; ``head`` computes logits and loss where there is a
label, and nowhere else; ``lora`` puts an adapter's small products into one function. ``method.lean=false`` leaves it
all out and trains as TRL does.
"""
