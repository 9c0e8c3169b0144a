package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// Services that end by themselves, and so have no health to ask for.
var once = []string{"streams", "directory", "cli", "cli-system"}

// The one service that clients reach.
const published = "balancer"

// load reads compose.yaml as `docker compose` does: against the schema, with the
// variables of a file of secrets in place, and with every name resolved.
func load(ctx context.Context, secrets string) (*types.Project, error) {
	options, err := cli.NewProjectOptions(
		[]string{"compose.yaml"},
		cli.WithEnvFiles(secrets),
		cli.WithDotEnv,
		cli.WithProfiles([]string{"*"}),
	)
	if err != nil {
		return nil, err
	}
	return options.LoadProject(ctx)
}

// checkUnprepared: who starts without secrets is told how to make them.
func checkUnprepared(ctx context.Context) error {
	_, err := load(ctx, os.DevNull)
	if err == nil || !strings.Contains(err.Error(), "run deploy/init first") {
		return fmt.Errorf("compose.yaml without secrets: %v", err)
	}
	return nil
}

// checkServices holds every service to what compose.yaml promises of all.
func checkServices(project *types.Project) error {
	var faults []error
	for name, service := range project.Services {
		fault := func(format string, arguments ...any) {
			faults = append(faults, fmt.Errorf("%s: "+format, append([]any{name}, arguments...)...))
		}
		if (len(service.Ports) > 0) != (name == published) {
			fault("only %s is published", published)
		}
		if !pinned(service.Image) {
			fault("image %s has no version", service.Image)
		}
		if !service.ReadOnly || !slices.Contains(service.CapDrop, "ALL") || service.Privileged || len(service.CapAdd) > 0 {
			fault("has rights that it does not need")
		}
		if service.Logging == nil || service.Logging.Options["max-size"] == "" {
			fault("may fill the disk with its log")
		}
		if service.Restart == "" {
			fault("stays away when it fails")
		}
		if (service.HealthCheck == nil) != slices.Contains(once, name) {
			fault("is to have a health check, unless it ends by itself")
		}
		if service.HealthCheck != nil && service.StopGracePeriod == nil {
			fault("may be killed before it has stopped")
		}
		faults = append(faults, missingFiles(name, service)...)
	}
	return errors.Join(faults...)
}

// pinned tells whether an image is named with a version.
func pinned(image string) bool {
	_, tag, tagged := strings.Cut(image[strings.LastIndex(image, "/")+1:], ":")
	return tagged && tag != "latest"
}

// missingFiles: Docker makes a folder where a file to be mounted is not there.
func missingFiles(name string, service types.ServiceConfig) (faults []error) {
	for _, volume := range service.Volumes {
		if volume.Type != types.VolumeTypeBind {
			continue
		}
		if info, err := os.Stat(volume.Source); err != nil || !info.Mode().IsRegular() || !volume.ReadOnly {
			faults = append(faults, fmt.Errorf("%s: %s is to be a file, and read only", name, volume.Source))
		}
	}
	return faults
}
