// Reads Dockerfiles with BuildKit's own parser and tells what it found: a base64 line in, a JSON line out.
//
// Run by tests/parse_oracle.rs, see there.
package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

type heredoc struct {
	Name, Content string
	Expand, Chomp bool
	FD            uint
}
type out struct {
	ParseErr string
	Dump     string
	Err      string
	Heredocs [][]heredoc
	Lines    [][2]int
	Comments [][]string
	Blank    int
	Later    string
}

func run(dt []byte) (o out) {
	defer func() {
		if r := recover(); r != nil {
			o.ParseErr = fmt.Sprint("panic: ", r)
		}
	}()
	res, err := parser.Parse(bytes.NewReader(dt))
	if err != nil {
		o.ParseErr = err.Error()
		return
	}
	o.Blank = len(res.Warnings)
	o.Dump = res.AST.Dump()
	for _, n := range res.AST.Children {
		var hs []heredoc
		for _, h := range n.Heredocs {
			hs = append(hs, heredoc{h.Name, h.Content, h.Expand, h.Chomp, h.FileDescriptor})
		}
		o.Heredocs = append(o.Heredocs, hs)
		o.Lines = append(o.Lines, [2]int{n.StartLine, n.EndLine})
		o.Comments = append(o.Comments, n.PrevComment)
	}
	stages, _, err := instructions.Parse(res.AST, linter.New(&linter.Config{}))
	if err != nil {
		o.Err = err.Error()
	} else if len(stages) == 0 {
		o.Err = "dockerfile contains no stages to build"
	}
	// Mounts are typed when the step is reached, with its variables expanded.
	asWritten := func(word string) (string, error) { return word, nil }
	for _, stage := range stages {
		for _, command := range stage.Commands {
			if run, ok := command.(*instructions.RunCommand); ok {
				if err := run.Expand(asWritten); err != nil && o.Later == "" {
					o.Later = err.Error()
				}
			}
		}
	}
	return
}

func main() {
	sc := bufio.NewScanner(os.Stdin)
	sc.Buffer(make([]byte, 1<<20), 1<<26)
	w := bufio.NewWriter(os.Stdout)
	defer w.Flush()
	enc := json.NewEncoder(w)
	for sc.Scan() {
		dt, err := base64.StdEncoding.DecodeString(strings.TrimSpace(sc.Text()))
		if err != nil {
			panic(err)
		}
		enc.Encode(run(dt))
		w.Flush()
	}
}
