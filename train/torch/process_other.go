//go:build !linux

package torch

import (
	"os"
	"syscall"
)

// ownGroup has nothing to say here: processes share lep's group and end with the terminal's signals.
func ownGroup() *syscall.SysProcAttr { return nil }

func terminate(p *os.Process) error { return p.Signal(os.Interrupt) }
