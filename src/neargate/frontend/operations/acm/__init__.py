"""AWS Certificate Manager: thin operations over `frontend/certificates/`."""
