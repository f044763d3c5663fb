//go:build pins

// Package influxdb2 names the programs to build, so that go.mod and go.sum pin them.
package influxdb2

import (
	_ "github.com/influxdata/influxdb/v2/cmd/influxd"
	_ "github.com/influxdata/pkg-config"
)
