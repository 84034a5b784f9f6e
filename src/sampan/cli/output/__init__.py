"""How answers are shown: tables, and the fields that ``--format`` may name."""
