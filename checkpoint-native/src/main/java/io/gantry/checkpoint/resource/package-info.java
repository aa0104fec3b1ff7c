/** One file per kind of kernel object, which captures itself and recreates itself. To support one more kind, add one file. */
package io.gantry.checkpoint.resource;
