"""Answers from vLLM, in a process of its own: its choice, its worker, and the check that it loads what it is given.

``choice`` says whether a model is answered by it, ``engine`` is asked as any other, ``server`` starts and ends the
process, ``worker`` and ``drawing`` run inside it, and ``proof`` compares its adapters with PEFT's.
"""
