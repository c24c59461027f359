// Expands words with BuildKit's own lexer and matches paths with Moby's own matcher: a JSON line in, a JSON line out.
//
// Run by tests/expand_oracle.rs, see there.
package main

import (
	"bufio"
	"encoding/json"
	"os"
	"sort"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/shell"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

type question struct {
	Word   string
	Env    []string
	Ignore string
	Path   string
}

type answer struct {
	Failed  bool
	Text    string
	Unset   []string
	Heredoc *string
	Look    bool
	Walk    bool
}

func expand(q question) (a answer) {
	env := shell.EnvsFromSlice(q.Env)
	text, unset, err := shell.NewLex('\\').ProcessWord(q.Word, env)
	a.Failed = err != nil
	a.Text = text
	for name := range unset {
		a.Unset = append(a.Unset, name)
	}
	sort.Strings(a.Unset)
	heredoc := shell.NewLex('\\')
	heredoc.SkipProcessQuotes = true
	if text, _, err := heredoc.ProcessWord(q.Word, env); err == nil {
		a.Heredoc = &text
	}
	return a
}

func match(q question) (a answer) {
	defer func() {
		if recover() != nil {
			a.Failed = true
		}
	}()
	lines, err := ignorefile.ReadAll(strings.NewReader(q.Ignore))
	if err != nil {
		return answer{Failed: true}
	}
	matcher, err := patternmatcher.New(lines)
	if err != nil {
		return answer{Failed: true}
	}
	if a.Look, err = matcher.MatchesOrParentMatches(q.Path); err != nil {
		return answer{Failed: true}
	}
	var info patternmatcher.MatchInfo
	parts := strings.Split(q.Path, "/")
	for i := range parts {
		if a.Walk, info, err = matcher.MatchesUsingParentResults(strings.Join(parts[:i+1], "/"), info); err != nil {
			return answer{Failed: true}
		}
	}
	return a
}

func main() {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(make([]byte, 1<<20), 1<<20)
	out := json.NewEncoder(os.Stdout)
	for in.Scan() {
		var q question
		if err := json.Unmarshal(in.Bytes(), &q); err != nil {
			panic(err)
		}
		a := match(q)
		if q.Path == "" {
			a = expand(q)
		}
		if err := out.Encode(a); err != nil {
			panic(err)
		}
	}
}
