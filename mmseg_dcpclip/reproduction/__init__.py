"""The paper's tables and pictures, from our own runs.

``tables`` and ``paper`` say what there is to reproduce, ``plan`` which runs that
takes, ``workers`` runs them, ``results`` and ``report`` make tables of what came out,
``sheets``, ``pictures`` and ``drawing`` contact sheets.
"""
