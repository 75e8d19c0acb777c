// Command makedata makes the tables of package lemma from the data folder of the Python
// package pymorphy3-dicts-ru:
//
//	go run ./eval/lemma/makedata path/to/pymorphy3_dicts_ru/data eval/lemma/data.zst
package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"lep/eval/lemma"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: makedata DATA_FOLDER OUT_FILE")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "makedata:", err)
		os.Exit(1)
	}
}

func run(dir, out string) error {
	var graphs [5][]uint32
	for i, name := range []string{"words.dawg", "prediction-suffixes-0.dawg", "prediction-suffixes-1.dawg", "prediction-suffixes-2.dawg", "p_t_given_w.intdawg"} {
		units, err := readUnits(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		graphs[i] = units
	}
	raw, err := os.ReadFile(filepath.Join(dir, "paradigms.array"))
	if err != nil {
		return err
	}
	paradigms := make([]uint16, len(raw)/2)
	if _, err := binary.Decode(raw, binary.LittleEndian, paradigms); err != nil {
		return err
	}
	var suffixes, tags []string
	for name, to := range map[string]*[]string{"suffixes.json": &suffixes, "gramtab-opencorpora-int.json": &tags} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		if err := json.Unmarshal(data, to); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	var b bytes.Buffer
	// The first number of paradigms.array counts them, which Unpack finds for itself.
	if err := lemma.Pack(&b, graphs, paradigms[1:], suffixes, tags); err != nil {
		return err
	}
	if _, err := lemma.Unpack(b.Bytes()); err != nil {
		return err
	}
	return os.WriteFile(out, b.Bytes(), 0o644)
}

// readUnits reads the graph and leaves its completion guide, which lookups do not need.
func readUnits(path string) ([]uint32, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if len(data) < 4 || int64(len(data)-4) < 4*int64(binary.LittleEndian.Uint32(data)) {
		return nil, fmt.Errorf("%s: cut off", path)
	}
	units := make([]uint32, binary.LittleEndian.Uint32(data))
	_, err = binary.Decode(data[4:], binary.LittleEndian, units)
	return units, err
}
