#!file://host:/usr/bin/python3 -u "a b"
print(1)
