"""The rules of the suite on care: what good care does (`good`) and does not do (`harm`), and answers on a person.

They read English and cost no more than a reply's length. A feature is there where a sentence says it and the clause in
which it stands does not take it back; quoted speech is not read.
"""
