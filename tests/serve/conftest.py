"""Triton's Python module exists only inside Triton: an empty one lets the endpoint model be imported here."""

import sys
from types import ModuleType

sys.modules.setdefault("triton_python_backend_utils", ModuleType("triton_python_backend_utils"))
