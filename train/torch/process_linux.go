package torch

import (
	"os"
	"syscall"
)

// ownGroup starts a process in a group of its own that is told to end when lep ends.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }
