/** The program people run: configuration, command line, daemon, demo, bench, wiring. */
package io.gantry.node;
