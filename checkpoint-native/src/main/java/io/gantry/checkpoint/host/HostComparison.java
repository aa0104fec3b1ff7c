package io.gantry.checkpoint.host;

import io.gantry.checkpoint.HostDifference;
import io.gantry.checkpoint.HostDifference.Verdict;
import io.gantry.checkpoint.HostFacts;
import io.gantry.checkpoint.HostPolicy;
import io.gantry.checkpoint.HostTrait;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;

/** Whether containers of one host can run on another. Stateless; any thread. */
public final class HostComparison {
  private static final int SHOWN_MAX = 40;

  private HostComparison() {}

  /** Everything that is compared, equal or not. */
  public static List<HostDifference> of(HostFacts source, HostFacts destination, HostPolicy policy) {
    var rows = new ArrayList<HostDifference>();
    rows.add(processors(source, destination));
    rows.add(features(source, destination, policy));
    rows.add(
        row(
            "XSAVE area",
            source.xsaveBytes() + " bytes",
            destination.xsaveBytes() + " bytes",
            source.xsaveBytes() == destination.xsaveBytes() ? "" : "signal frames take %d bytes on the source and %d here; the kernels save different register sets"
                .formatted(source.xsaveBytes(), destination.xsaveBytes()),
            Verdict.REFUSES));
    rows.add(
        row("kernel", source.kernelRelease(), destination.kernelRelease(),
            source.kernelRelease().equals(destination.kernelRelease()) ? "" : "what only the newer kernel has may be missing from the older one",
            Verdict.WARNS));
    rows.add(
        row(
            "vdso",
            source.vdsoHash(),
            destination.vdsoHash(),
            source.vdsoHash().equals(destination.vdsoHash()) ? "" : "the kernels map different vdso code (%s there, %s here); run the same kernel build on both hosts"
                .formatted(source.kernelRelease(), destination.kernelRelease()),
            Verdict.REFUSES));
    for (var capability : destination.capabilities()) {
      if (capability.required()) {
        rows.add(
            row(
                capability.name(), "", capability.available() ? "there" : "missing",
                capability.available() ? "" : "missing on this host: " + capability.reason(), Verdict.REFUSES));
      }
    }
    for (var trait : source.traits()) {
      if (!policy.ignore().contains(trait.name())) {
        rows.add(compare(trait, destination.traits().stream().filter(other -> other.name().equals(trait.name())).findFirst(), policy));
      }
    }
    return List.copyOf(rows);
  }

  private static HostDifference processors(HostFacts source, HostFacts destination) {
    return row(
        "CPU",
        source.machine(),
        destination.machine(),
        source.machine().equals(destination.machine()) ? "" : "the source is " + source.machine() + ", this host is " + destination.machine(),
        Verdict.REFUSES);
  }

  private static HostDifference features(HostFacts source, HostFacts destination, HostPolicy policy) {
    var missing = source.cpuFeatures().stream().filter(feature -> !destination.cpuFeatures().contains(feature)).toList();
    var added = destination.cpuFeatures().stream().filter(feature -> !source.cpuFeatures().contains(feature)).toList();
    var sentences = new ArrayList<String>();
    if (!missing.isEmpty()) {
      sentences.add("this host's CPU lacks " + String.join(", ", missing) + ", which the container could have found on the source");
    }
    if (!added.isEmpty() && policy.cpu() == HostPolicy.Cpu.EXACT) {
      sentences.add("this host's CPU has " + String.join(", ", added) + ", which the source's lacks, and the same is asked for (cpu-policy = exact)");
    }
    return row(
        "CPU features",
        source.cpuFeatures().size() + " features",
        destination.cpuFeatures().size() + " features",
        String.join("; ", sentences),
        Verdict.REFUSES);
  }

  private static HostDifference compare(HostTrait trait, Optional<HostTrait> found, HostPolicy policy) {
    if (found.isEmpty()) {
      return row(trait.name(), trait.value(), "?", "this host runs another version of Gantry, which does not tell; it is not known whether it fits", Verdict.WARNS);
    }
    String here = found.get().value();
    boolean exact = trait.name().equals(HostTraits.CPU_MODEL) && policy.cpu() == HostPolicy.Cpu.EXACT;
    boolean label = trait.name().equals(HostTraits.SECURITY_LABEL);
    var otherwise = exact || label || policy.refuse().contains(trait.name()) ? Verdict.REFUSES : Verdict.WARNS;
    String sentence =
        fits(trait, here)
            ? ""
            : "%s on the source, %s here: %s".formatted(lacking(trait, here), shown(here), trait.consequence());
    return row(trait.name(), trait.value(), here, sentence, otherwise);
  }

  /** What of the source's value is worth naming. */
  private static String lacking(HostTrait trait, String here) {
    if (trait.fit() != HostTrait.Fit.INCLUDES) {
      return shown(trait.value());
    }
    var words = List.of(here.split(" "));
    return Arrays.stream(trait.value().split(" ")).filter(word -> !words.contains(word)).collect(Collectors.joining(", "));
  }

  private static boolean fits(HostTrait trait, String here) {
    return switch (trait.fit()) {
      case EQUAL -> trait.value().equals(here);
      case AT_LEAST -> trait.value().isEmpty() || !here.isEmpty() && number(here).compareTo(number(trait.value())) >= 0;
      case INCLUDES -> trait.value().isBlank() || List.of(here.split(" ")).containsAll(List.of(trait.value().split(" ")));
    };
  }

  /** Some sysctls are larger than a long. What is no number is smaller than all numbers. */
  private static BigInteger number(String value) {
    return value.matches("-?[0-9]{1,40}") ? new BigInteger(value) : BigInteger.valueOf(Long.MIN_VALUE);
  }

  private static HostDifference row(String name, String source, String destination, String sentence, Verdict otherwise) {
    return new HostDifference(name, shown(source), shown(destination), sentence.isEmpty() ? Verdict.FITS : otherwise, sentence);
  }

  private static String shown(String value) {
    return value.isBlank() ? "none" : value.length() > SHOWN_MAX ? value.substring(0, SHOWN_MAX - 1) + "…" : value.replaceAll("\\s+", " ");
  }
}
