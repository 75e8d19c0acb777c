package report_test

import (
	"bytes"
	"fmt"
	"log"
	"strings"

	"lep/report"
)

func ExampleWrite() {
	bits := func(v float64) map[string]report.Language {
		return map[string]report.Language{"ru": {BitsPerByte: report.Plain(v)}}
	}
	run := &report.Run{Title: "Pocket", Models: []report.Model{
		{Name: "instruct", Role: "target", Languages: bits(1.692)},
		{Name: "adapted", Role: "result", Vocabulary: "extension", Method: "ridge", Languages: bits(1.605)},
	}}
	var page bytes.Buffer
	if err := report.Write(&page, run); err != nil {
		log.Fatal(err)
	}
	fmt.Println(strings.Contains(page.String(), "adapted: 1.605 bits per byte of Russian against 1.692, better than instruct."))
	// Output: true
}
