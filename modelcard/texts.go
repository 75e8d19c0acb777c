package modelcard

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"lep/checkpoint"
	"lep/internal/atomic"
)

// readable are the kinds of files that are searched for secrets and paths; vocabularies and templates are
// other people's texts.
var readable = []string{".md", ".json", ".jsonl", ".yaml", ".yml", ".txt", ".py", ".sh", ".toml", ".cfg", ".html", ".csv", ".log"}

func isText(name string) bool {
	base := filepath.Base(name)
	return slices.Contains(readable, filepath.Ext(name)) && base != "tokenizer.json" && base != "vocab.json" && base != "merges.txt" && base != "tekken.json"
}

// maxText is how much of a file is searched.
const maxText = 64 << 20

var secrets = []*regexp.Regexp{
	regexp.MustCompile(`\bhf_[A-Za-z0-9]{30,}\b`),
	regexp.MustCompile(`\bsk-[A-Za-z0-9_-]{20,}`),
	regexp.MustCompile(`\bgh[pousr]_[A-Za-z0-9]{30,}\b`),
	regexp.MustCompile(`\b(AKIA|ASIA)[A-Z0-9]{16}\b`),
	regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----`),
	regexp.MustCompile(`(?i)\bbearer +[A-Za-z0-9._~+/-]{20,}`),
}

// machinePath finds absolute paths: of JSON and YAML values and in prose, below the folders where people
// and clusters keep their files.
var machinePath = regexp.MustCompile("(?:^|[\"'\\s=(\\[`,:])((?:/(?:home|root|Users|tmp|mnt|data|work|workspace|scratch|srv|var|opt|media|storage|gpfs|lustre|content|kaggle|private|Volumes|nfs|shared)" +
	`|[A-Za-z]:\\{1,2}[Uu]sers)[/\\][^\s"'<>|,)\]` + "`" + `]+)`)

// texts searches the text files.
func (f *Folder) texts(ctx context.Context, dir string, files []string) error {
	var leaks, paths []string
	for _, name := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !isText(name) {
			continue
		}
		data, err := readStart(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		for _, s := range secrets {
			if at := s.FindIndex(data); at != nil {
				leaks = append(leaks, fmt.Sprintf("%s:%d: looks like a key", name, lineOf(data, at[0])))
			}
		}
		if at := machinePath.FindSubmatchIndex(data); at != nil {
			paths = append(paths, fmt.Sprintf("%s:%d: %s", name, lineOf(data, at[2]), data[at[2]:at[3]]))
		}
	}
	f.found("secrets", "none found", "remove the key from the file, and revoke it", leaks)
	f.found("paths", "no path of this machine", "lep publish --tidy writes names in place of paths", paths)
	return nil
}

func readStart(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, maxText))
}

func lineOf(data []byte, at int) int { return 1 + bytes.Count(data[:at], []byte("\n")) }

// Tidy writes in the text files of a folder the public names of models and files in place of paths of
// this machine, and returns the files it changed. Nothing else in them changes.
func Tidy(dir string) (changed []string, err error) {
	f := &Folder{}
	files, err := f.files(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range files {
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !isText(name) || info.Size() > maxText {
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if tidied := withoutPaths(data); !bytes.Equal(tidied, data) {
			if err := atomic.WriteFile(path, tidied, true); err != nil {
				return nil, err
			}
			changed = append(changed, name)
		}
	}
	return changed, nil
}

func withoutPaths(data []byte) []byte {
	var out bytes.Buffer
	at := 0
	for _, m := range machinePath.FindAllSubmatchIndex(data, -1) {
		path := strings.TrimRight(string(data[m[2]:m[3]]), `/\.;:`)
		name := checkpoint.PublicName(path)
		if name == path { // not here: of another machine
			name = path[strings.LastIndexAny(path, `/\`)+1:]
		}
		out.Write(data[at:m[2]])
		out.WriteString(name)
		at = m[2] + len(path)
	}
	out.Write(data[at:])
	return out.Bytes()
}
