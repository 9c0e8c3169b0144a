package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// checkImage has BuildKit turn a Dockerfile into the steps of a build, with all
// of its own lint rules, and looks at what the build would be sent.
func checkImage(ctx context.Context, build *types.BuildConfig) error {
	path := filepath.Join(build.Context, build.Dockerfile)
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var faults []error
	warn := func(rule, _, _, message string, lines []parser.Range) {
		faults = append(faults, fmt.Errorf("%s: %s: %s %v", path, rule, message, lines))
	}
	var pulled images
	result, err := dockerfile2llb.Dockerfile2LLB(ctx, text, dockerfile2llb.ConvertOpt{
		Config:         dockerui.Config{BuildArgs: map[string]string{}},
		TargetPlatform: &ocispecs.Platform{OS: "linux", Architecture: "amd64"},
		MetaResolver:   &pulled,
		Warn:           warn,
	})
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, image := range pulled {
		if !pinned(image) {
			faults = append(faults, fmt.Errorf("%s: image %s has no version", path, image))
		}
	}
	if user := result.Image.Config.User; user == "" || strings.HasPrefix(user, "0") || strings.HasPrefix(user, "root") {
		faults = append(faults, fmt.Errorf("%s: its processes run as %q", path, user))
	}
	if _, err := result.State.Marshal(ctx); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	faults = append(faults, checkContext(build.Context, path+".dockerignore"))
	return errors.Join(faults...)
}

// checkContext: what cargo needs is sent to the builder, and secrets are not.
func checkContext(folder, ignore string) error {
	file, err := os.Open(ignore)
	if err != nil {
		return err
	}
	defer file.Close()
	patterns, err := ignorefile.ReadAll(file)
	if err != nil {
		return err
	}
	ignored, err := patternmatcher.New(patterns)
	if err != nil {
		return err
	}
	var faults []error
	expect := func(path string, sent bool) {
		matches, err := ignored.MatchesOrParentMatches(path)
		if err == nil && matches == sent {
			err = fmt.Errorf("%s: whether %s is sent to the builder should be %t", ignore, path, sent)
		}
		faults = append(faults, err)
	}
	for _, path := range []string{".env", ".git/config", "target/release/gateway"} {
		expect(path, false)
	}
	for _, pattern := range []string{"Cargo.*", "deploy/healthy", "*/Cargo.toml", "*/src/**"} {
		for _, path := range glob(folder, pattern) {
			// Fuzzing is a workspace of its own.
			if !strings.HasPrefix(path, "fuzz/") && !strings.HasPrefix(path, "target/") {
				expect(path, true)
			}
		}
	}
	return errors.Join(faults...)
}

// glob: the files of a folder that fit, `**` being any depth.
func glob(folder, pattern string) (found []string) {
	fits, err := patternmatcher.New([]string{pattern})
	if err != nil {
		panic(err)
	}
	_ = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		relative, _ := filepath.Rel(folder, path)
		if entry != nil && entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "target") {
			return filepath.SkipDir
		}
		if matches, _ := fits.MatchesOrParentMatches(relative); err == nil && !entry.IsDir() && matches {
			found = append(found, relative)
		}
		return err
	})
	return found
}

// images are the ones that a build begins with. Nothing is pulled, so nothing of
// them is known but their names.
type images []string

func (all *images) ResolveImageConfig(_ context.Context, name string, _ sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	*all = append(*all, name)
	image := ocispecs.Image{Platform: ocispecs.Platform{OS: "linux", Architecture: "amd64"}}
	config, err := json.Marshal(image)
	return name, digest.FromBytes(config), config, err
}
