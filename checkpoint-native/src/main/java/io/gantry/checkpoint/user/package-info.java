/**
 * User namespaces of a container: the one that it lives in, whose ids are those that everything sent counts by, and those that
 * its processes have made below. In may come how they are found, described and made again; never what a process does with its
 * ids, which is {@code io.gantry.checkpoint.state}'s.
 */
package io.gantry.checkpoint.user;
