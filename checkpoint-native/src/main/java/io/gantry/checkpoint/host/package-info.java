/**
 * What two hosts must have in common for a container of one to run on the other, and what a program might notice where they differ. Knows nothing of
 * single containers.
 */
package io.gantry.checkpoint.host;
