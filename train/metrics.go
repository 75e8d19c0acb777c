package train

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"lep/internal/atomic"
	"lep/internal/orderedjson"
)

// Record is a line of metrics.jsonl.
type Record struct {
	Time            string   `json:"time"`
	Event           string   `json:"event"` // step, eval, tasks, checkpoint, resume, stop
	Step            int      `json:"step"`
	Epoch           float64  `json:"epoch"`
	Tokens          int64    `json:"tokens"`         // of the run so far, without padding
	Loss            *float64 `json:"loss,omitempty"` // nats a token, mean since the line before
	LR              *float64 `json:"lr,omitempty"`
	EmbeddingLR     *float64 `json:"embedding_lr,omitempty"`
	GradNorm        *float64 `json:"grad_norm,omitempty"`
	TokensPerSecond float64  `json:"tokens_per_second,omitempty"`
	GFLOPS          float64  `json:"gflops,omitempty"`
	EvalLoss        *float64 `json:"eval_loss,omitempty"`
	BitsPerByte     *float64 `json:"eval_bits_per_byte,omitempty"`
	Note            string   `json:"note,omitempty"`

	Tasks map[string]float64 `json:"tasks,omitempty"` // scores of tasks, by name
}

// MetricsFile is the file in a run folder that holds the course of the run, a JSON object a line.
const MetricsFile = "metrics.jsonl"

// metrics appends records to metrics.jsonl and, if asked, to a TensorBoard file.
type metrics struct {
	file  *os.File
	board *eventFile
}

// openMetrics opens a run folder's metrics and drops what lies behind a step: those steps
// will be done again.
func openMetrics(dir string, after int, tensorboard bool) (*metrics, error) {
	path := filepath.Join(dir, MetricsFile)
	records, raw, err := readMetrics(path)
	if err != nil {
		return nil, err
	}
	var kept bytes.Buffer
	for i, r := range records {
		if r.Step <= after {
			kept.Write(raw[i])
			kept.WriteByte('\n')
		}
	}
	if err := atomic.WriteFile(path, kept.Bytes(), true); err != nil {
		return nil, err
	}
	m := &metrics{}
	if m.file, err = os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0o644); err != nil {
		return nil, err
	}
	if tensorboard {
		if m.board, err = newEventFile(dir, time.Now()); err != nil {
			m.file.Close()
			return nil, err
		}
	}
	return m, nil
}

// ReadMetrics reads metrics.jsonl of a run folder. A last line without its end, which a
// process that was killed leaves, is left out.
func ReadMetrics(dir string) ([]Record, error) {
	records, _, err := readMetrics(filepath.Join(dir, MetricsFile))
	return records, err
}

func readMetrics(path string) (records []Record, raw [][]byte, err error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	} else if err != nil {
		return nil, nil, err
	}
	for n := 1; ; n++ {
		line, rest, ended := bytes.Cut(data, []byte("\n"))
		if !ended {
			return records, raw, nil
		}
		data = rest
		var r Record
		if err := json.Unmarshal(line, &r); err != nil {
			return nil, nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		records, raw = append(records, r), append(raw, line)
	}
}

// write appends a record in one write.
func (m *metrics) write(r Record) error {
	now := time.Now()
	r.Time = now.UTC().Format(time.RFC3339Nano)
	line, err := orderedjson.Marshal(r)
	if err != nil {
		return err
	}
	if _, err := m.file.Write(append(line, '\n')); err != nil {
		return err
	}
	if m.board == nil {
		return nil
	}
	for _, s := range []struct {
		tag   string
		value *float64
	}{
		{"train/loss", r.Loss}, {"train/learning_rate", r.LR}, {"train/grad_norm", r.GradNorm},
		{"eval/loss", r.EvalLoss}, {"eval/bits_per_byte", r.BitsPerByte},
	} {
		if s.value == nil {
			continue
		}
		if err := m.board.scalar(now, r.Step, s.tag, *s.value); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Tasks)) {
		if err := m.board.scalar(now, r.Step, "tasks/"+name, r.Tasks[name]); err != nil {
			return err
		}
	}
	return m.board.flush()
}

func (m *metrics) close() error {
	err := m.file.Close()
	if m.board != nil {
		err = errors.Join(err, m.board.close())
	}
	return err
}

// eventFile is a file of TensorBoard events.
type eventFile struct {
	file *os.File
	out  *bufio.Writer
}

// Progress is what is shown of a step.
type Progress struct {
	Record
	Steps int // of the whole run
}
