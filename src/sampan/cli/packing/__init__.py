"""``image pack``: an image of programs of this machine, without running any of them.

Words.  *tree*: what the image will hold, path by path, as this machine has it or made up here (``tree``).
        *closure*: a program with the loader and all libraries that it starts with (``elf``, ``search``, ``closure``).
        *plug-in*: a shared object that a program opens later by itself: modules of Python's, OpenSSL's, glibc's.
        *furniture*: what programs expect around them: users, certificates, name service, terminals (``furniture``).
Life.   programs are found (``programs``) → their closures, runtimes (``runtimes``) and furniture fill the tree → it is
        written as one layer, sorted and dated (``archive``), straight into a request or a file.
Safety. Files may be hostile: they are read within limits, never run, and nothing gets into an image because a file
        says so but what is a shared object of the same machine, or an executable that a script names.
"""
