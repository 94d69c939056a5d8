# SPDX-License-Identifier: MIT
"""Long-lived processes kept by pid files: shared by swiftlab and cluster.

A pid file holds the pid and the process's start time in clock ticks. Only where both agree with
/proc is a process ours and ever signalled: a pid that was reused belongs to somebody else.
"""
import os
import signal
import subprocess
import time


def write(path, text, mode=0o644):
    """Replaces a file as a whole, so that a reader sees the old or the new text."""
    tmp = path + '.tmp'
    with open(os.open(tmp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), 'w') as f:
        os.fchmod(f.fileno(), mode)  # whatever the umask and an older file said
        f.write(text)
    os.rename(tmp, path)


def proc_start(pid):
    """Start time of a live, non-zombie process in clock ticks, else None."""
    try:
        with open('/proc/%d/stat' % pid) as f:
            rest = f.read().rsplit(')', 1)[1].split()
        return None if rest[0] in 'ZX' else rest[19]
    except (OSError, IndexError):
        return None


class Processes(object):
    def __init__(self, run_dir, log_dir):
        self.run_dir, self.log_dir = run_dir, log_dir

    def pid_file(self, name):
        return os.path.join(self.run_dir, name + '.pid')

    def log_file(self, name):
        return os.path.join(self.log_dir, name + '.log')

    def names(self):
        """Every process that was started and not stopped, alive or not."""
        try:
            return sorted(f[:-4] for f in os.listdir(self.run_dir) if f.endswith('.pid'))
        except FileNotFoundError:
            return []

    def pid(self, name):
        """The pid if the process is alive and ours, else None."""
        try:
            with open(self.pid_file(name)) as f:
                pid, start = f.read().split()
        except (OSError, ValueError):
            return None
        return int(pid) if proc_start(int(pid)) == start else None

    def start(self, name, argv, cwd, user=None, group=None, extra_groups=None, env=None, umask=0o022):
        """Starts argv as the leader of its own session; stdout and stderr go to its log file."""
        identity = {}
        if user is not None:
            identity = dict(user=user, group=group, extra_groups=extra_groups or [])
        environment = {'PATH': '/usr/bin:/bin:/usr/sbin:/sbin', 'LANG': 'C.UTF-8', 'HOME': cwd,
                       'TZ': 'UTC+0', 'PYTHONDONTWRITEBYTECODE': '1'}
        environment.update(env or {})
        with open(self.log_file(name), 'ab') as log:
            p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=cwd,
                                 env=environment, start_new_session=True, close_fds=True,
                                 umask=umask, **identity)
        write(self.pid_file(name), '%d %s\n' % (p.pid, proc_start(p.pid)))
        return p

    def stop(self, names, first=signal.SIGTERM):
        """Ends these processes with their sessions' groups: asked first, then killed."""
        pids = {n: self.pid(n) for n in names}

        def alive():
            return [n for n, pid in pids.items() if pid and self.pid(n) == pid]

        for sig, patience in ((first, 8), (signal.SIGKILL, 8)):
            for n in alive():
                try:
                    os.killpg(pids[n], sig)
                except ProcessLookupError:
                    pass
            end = time.monotonic() + patience
            while alive() and time.monotonic() < end:
                time.sleep(0.02)
        stuck = alive()
        for n in names:
            if n not in stuck:
                try:
                    os.unlink(self.pid_file(n))
                except FileNotFoundError:
                    pass
        return stuck
