package eval

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/gofrs/flock"

	"lep/internal/hint"
)

// answerLog is a file of answers, one JSON object a line, which is only ever appended to. A nil
// one has nothing and keeps nothing.
type answerLog struct {
	file    *os.File
	lock    *flock.Flock
	answers map[string]Answer
	size    int64 // of the lines that are whole
}

// answerLine is a line of the file.
type answerLine struct {
	Key    string  `json:"key"`
	Task   string  `json:"task"`
	Answer *Answer `json:"answer"`
}

// openAnswers opens a file of answers, or makes it, for this process alone. resume reads what it
// has: a torn last line is dropped, another bad line is an error. Without resume it begins anew.
func openAnswers(path string, resume bool) (*answerLog, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	l := &answerLog{file: file, lock: flock.New(path), answers: map[string]Answer{}}
	ok, err := l.lock.TryLock()
	if err == nil && !ok {
		err = hint.Errorf("wait for it to end, or choose another file", "%s: another run writes there", path)
	}
	if err == nil && resume {
		err = l.read(path)
	}
	if err == nil {
		err = l.cut()
	}
	if err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// read takes in all whole lines.
func (l *answerLog) read(path string) error {
	r := bufio.NewReaderSize(l.file, 1<<20)
	for {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var entry answerLine
		if err := json.Unmarshal(bytes.TrimSpace(line), &entry); err != nil || entry.Answer == nil {
			return hint.Errorf("remove the file, or --force to begin anew", "%s: damaged behind %d bytes: %v", path, l.size, err)
		}
		l.answers[entry.Key] = *entry.Answer
		l.size += int64(len(line))
	}
}

// cut drops what stands behind the last whole line.
func (l *answerLog) cut() error {
	if err := l.file.Truncate(l.size); err != nil {
		return err
	}
	_, err := l.file.Seek(l.size, io.SeekStart)
	return err
}

func (l *answerLog) get(key string) (a Answer, ok bool) {
	if l != nil {
		a, ok = l.answers[key]
	}
	return a, ok
}

// add writes an answer in one piece, so that a killed run loses none that add returned for.
func (l *answerLog) add(key, task string, a Answer) error {
	if l == nil {
		return nil
	}
	line := append(mustJSON(answerLine{key, task, &a}), '\n')
	if _, err := l.file.Write(line); err != nil { // a full disk; part of the line may stand there
		return errors.Join(fmt.Errorf("%s: %w", l.file.Name(), err), l.cut())
	}
	l.size += int64(len(line))
	return nil
}

func (l *answerLog) close() {
	if l != nil {
		l.file.Close()
		l.lock.Unlock()
	}
}
