"""Text-to-image synthesis from 2007 to today: one compact library behind the notebooks.

Nothing heavy is imported here; each room of the house imports what it needs when it is used.
"""

__version__ = "0.1.0"
