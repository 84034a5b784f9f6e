"""The HTTP server of the Engine API: parses, calls the engine, serialises. No policy lives here.

`http.Server` speaks HTTP/1.1 on any number of listening sockets; `app.App` finds the handler of a request and turns
errors into answers; one module per resource holds the handlers.
"""
