"""Answers from a model in this process, by transformers: sampling and likelihoods, by token ids.

``engine`` is what others use. ``prefixes`` reads prompts, what they share once; ``decode`` writes the answers;
``cache`` keeps keys and values; ``weights`` holds a base model and puts one adapter after another on it; ``room`` says
how many prompts are answered at a time.
"""

from warmgap.engines.hf.engine import HfEngine as HfEngine
