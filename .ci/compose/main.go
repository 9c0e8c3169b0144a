// What can be known of compose.yaml and of the image that it builds without a
// container engine, from the libraries that Docker is made of: compose-go reads
// the one and BuildKit the other. Nothing is pulled.
//
//	compose check SECRETS                holds both to what they promise
//	compose container SECRETS SERVICE    what to run for a service, for env(1)
//	compose health SECRETS SERVICE       how to ask for its health
//
// Runs at the top of the tree. The last two end each word with a zero byte.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/types"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, arguments []string) error {
	if len(arguments) < 2 {
		return fmt.Errorf("usage: compose check|container|health SECRETS [SERVICE]")
	}
	verb, secrets, names := arguments[0], arguments[1], arguments[2:]
	project, err := load(ctx, secrets)
	if err != nil {
		return err
	}
	if verb == "check" {
		return check(ctx, project)
	}
	for _, name := range names {
		service, err := project.GetService(name)
		if err != nil {
			return err
		}
		words := container(service)
		if verb == "health" {
			words = service.HealthCheck.Test[1:]
		}
		for _, word := range words {
			fmt.Print(word, "\x00")
		}
	}
	return nil
}

func check(ctx context.Context, project *types.Project) error {
	if err := checkUnprepared(ctx); err != nil {
		return err
	}
	if err := checkServices(project); err != nil {
		return err
	}
	fmt.Printf("    compose.yaml: %d services\n", len(project.Services))
	for _, service := range project.Services {
		if service.Build == nil {
			continue
		}
		if err := checkImage(ctx, service.Build); err != nil {
			return err
		}
		fmt.Printf("    %s: no warnings\n", service.Build.Dockerfile)
	}
	return nil
}

// container: the environment and the command of a service, with the files that
// are mounted at the places where they come from.
func container(service types.ServiceConfig) (words []string) {
	for name, value := range service.Environment {
		if value != nil {
			words = append(words, name+"="+*value)
		}
	}
	words = append(words, service.Entrypoint...)
	for _, word := range service.Command {
		for _, volume := range service.Volumes {
			if volume.Type == types.VolumeTypeBind && volume.Target == word {
				word = volume.Source
			}
		}
		words = append(words, word)
	}
	return words
}
