"""The door ``/pages``: what people look at, and where they decide.

Pages are made on the server and work without any script; the one script (htmx, vendored, unchanged)
only spares reloading while a job runs or a filter is changed. Nothing is loaded from elsewhere.

``routes``   what a page takes from the request, and which method of the product answers it
``session``  the cookie that a key is exchanged for, and the token in each form
``standing`` what takes time to count, kept for a while
``view``     records → what a page shows (pure)
``parting``  two runs of one task side by side, from where they part (pure)
``chart``    numbers → places in a drawing (pure)
``render``   templates, headers, and errors as pages

Text from runs, constraints and tasks is data: every template escapes all of it, none holds a script
or a style, and the content-security policy would run none. Whoever may open the pages may read
what ``/v1`` shows to the same key; each change needs its scope and the token of a form, and is in
the audit.
"""

from __future__ import annotations

from memcollab.serve.pages.render import SIGN_IN, is_page, refusal

__all__ = ["SIGN_IN", "is_page", "refusal"]
