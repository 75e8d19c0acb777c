package torch

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"lep/internal/hint"
)

// note is failed-RANK.json, which a rank leaves that ended with an error.
type note struct {
	Rank  int     `json:"rank"`
	Time  float64 `json:"time"`
	Error string  `json:"error"`
	Trace string  `json:"trace"`
}

// notes reads those of a work folder, the first failure first.
func notes(work string) []note {
	paths, err := filepath.Glob(filepath.Join(work, "failed-*.json"))
	if err != nil {
		return nil
	}
	var list []note
	for _, path := range paths {
		var n note
		if data, err := os.ReadFile(path); err == nil && json.Unmarshal(data, &n) == nil {
			list = append(list, n)
		}
	}
	slices.SortFunc(list, func(a, b note) int { return cmp.Compare(a.Time, b.Time) })
	return list
}

// torchrun ends with a report of the failure that it saw first.
var rootCause = regexp.MustCompile(`(?s)Root Cause \(first observed failure\):.*?rank\s*: (\d+) \(local_rank: (\d+)\).*?exitcode\s*: (-?\d+)`)

// failure says why the ranks ended: which was the first, what it said, and where its log is. A killed rank leaves no
// note, those that waited for it do; then torchrun's report tells.
func failure(work, logs string, runErr error) error {
	text, err := os.ReadFile(filepath.Join(logs, "torchrun.log"))
	if err != nil {
		text = nil
	}
	list := notes(work)
	kept := "; the same command goes on at the last checkpoint"
	if m := rootCause.FindSubmatch(text); m != nil {
		rank, local := number(m[1]), number(m[2])
		if code := number(m[3]); code < 0 {
			return hint.Errorf("dmesg tells if the system ended it for memory"+kept, "torch: rank %d was ended by signal %d (%v); its log: %s",
				rank, -code, syscall.Signal(-code), rankLog(logs, local))
		}
		for _, n := range list {
			if n.Rank == rank {
				return explain(n, rankLog(logs, local), kept)
			}
		}
	}
	if len(list) > 0 {
		return explain(list[0], rankLog(logs, list[0].Rank), kept)
	}
	return hint.Errorf("the file holds all that torchrun printed", "torch: torchrun: %w: %s: %s", runErr, filepath.Join(logs, "torchrun.log"), lastLine(string(text)))
}

func number(b []byte) int {
	n, err := strconv.Atoi(string(b))
	if err != nil {
		return -1
	}
	return n
}

// rankLog finds what a rank of this machine printed in torchrun's folders.
func rankLog(logs string, local int) string {
	paths, err := filepath.Glob(filepath.Join(logs, "*", "attempt_*", strconv.Itoa(local), "stderr.log"))
	if err != nil || len(paths) == 0 {
		return logs
	}
	newest := slices.MaxFunc(paths, func(a, b string) int { return cmp.Compare(changed(a), changed(b)) })
	return newest
}

func changed(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.ModTime().UnixNano()
}

// explain turns a rank's note into an error. What the driver refuses itself is said in its own words.
func explain(n note, log, kept string) error {
	message, _, _ := strings.Cut(n.Error, "\n")
	if n.Trace == "" {
		return fmt.Errorf("torch: %s", message)
	}
	advice := "the log has the whole trace" + kept
	switch {
	case strings.Contains(n.Error, "out of memory"):
		advice = "smaller per_device_batch_size with more gradient_accumulation_steps, --gradient-checkpointing, or more GPUs" + kept
	case strings.Contains(n.Error, "NCCL") || strings.Contains(n.Trace, "NCCL"):
		advice = "NCCL_DEBUG=INFO shows which connection it is; NCCL_SOCKET_IFNAME names the network to use, NCCL_P2P_DISABLE=1 does without direct GPU links" + kept
	case strings.Contains(n.Error, "Connection closed by peer") || strings.Contains(n.Error, "Connection reset"):
		advice = "another rank or machine went away: see the logs beside it" + kept
	}
	return hint.Errorf(advice, "torch: rank %d: %s; its log: %s", n.Rank, message, log)
}
