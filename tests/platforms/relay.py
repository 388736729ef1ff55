"""Runs a Windows program with pipes of Windows between it and this one: relay.py PROGRAM [ARGUMENT ...]

Under wine Node cannot open a pipe of Linux as its stdin or stdout; Python can. If this program is killed, wine kills the other one.
"""

import ctypes
import subprocess
import sys
import threading

KILL_ON_JOB_CLOSE = 0x2000
EXTENDED_LIMITS = 9
# JOBOBJECT_EXTENDED_LIMIT_INFORMATION on 64 bits; the flags are at 16.
LIMITS_SIZE, FLAGS_AT = 144, 16

kernel = ctypes.windll.kernel32
kernel.CreateJobObjectW.restype = ctypes.c_void_p
job = ctypes.c_void_p(kernel.CreateJobObjectW(None, None))
limits = (ctypes.c_ubyte * LIMITS_SIZE)()
ctypes.c_uint32.from_buffer(limits, FLAGS_AT).value = KILL_ON_JOB_CLOSE
if not kernel.SetInformationJobObject(job, EXTENDED_LIMITS, limits, LIMITS_SIZE):
    raise ctypes.WinError()

child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
if not kernel.AssignProcessToJobObject(job, ctypes.c_void_p(int(child._handle))):
    raise ctypes.WinError()


def feed():
    for line in iter(sys.stdin.buffer.readline, b""):
        child.stdin.write(line)
        child.stdin.flush()
    child.stdin.close()


threading.Thread(target=feed, daemon=True).start()
for line in iter(child.stdout.readline, b""):
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
sys.exit(child.wait())
