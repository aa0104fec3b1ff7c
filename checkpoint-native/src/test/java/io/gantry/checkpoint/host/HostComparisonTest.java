package io.gantry.checkpoint.host;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.HostDifference;
import io.gantry.checkpoint.HostFacts;
import io.gantry.checkpoint.HostPolicy;
import io.gantry.checkpoint.HostTrait;
import io.gantry.checkpoint.HostDifference.Verdict;
import io.gantry.checkpoint.HostTrait.Fit;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class HostComparisonTest {
  private static HostFacts host(List<String> features, HostTrait... traits) {
    return new HostFacts("6.18.0", "amd64", features, 2696, "v", 1 << 30, List.of(), List.of(traits));
  }

  private static HostTrait trait(Fit fit, String value) {
    return new HostTrait("t", value, fit, "something changes");
  }

  private static HostDifference compared(Fit fit, String source, String destination, HostPolicy policy) {
    return HostComparison.of(host(List.of(), trait(fit, source)), host(List.of(), trait(fit, destination)), policy).getLast();
  }

  @ParameterizedTest
  @CsvSource({
    "EQUAL, 0, 0, FITS",
    "EQUAL, 0, 1, WARNS",
    "EQUAL, '', 1, WARNS",
    "AT_LEAST, 65530, 65530, FITS",
    "AT_LEAST, 65530, 262144, FITS",
    "AT_LEAST, 65530, 1024, WARNS",
    "AT_LEAST, 65530, '', WARNS",
    "AT_LEAST, '', 1024, FITS",
    "AT_LEAST, 18446744073692774399, 18446744073692774399, FITS",
    "AT_LEAST, 18446744073692774399, 9223372036854775807, WARNS",
    "INCLUDES, reno cubic, cubic bbr reno, FITS",
    "INCLUDES, reno bbr, reno cubic, WARNS",
    "INCLUDES, '', reno, FITS",
  })
  void valuesAreComparedAsTheirTraitSays(Fit fit, String source, String destination, Verdict verdict) {
    assertThat(compared(fit, source, destination, HostPolicy.DEFAULT).verdict()).isEqualTo(verdict);
  }

  @Test
  void whatIsMissingIsNamedAndNothingElse() {
    assertThat(compared(Fit.INCLUDES, "reno bbr dctcp", "reno cubic", HostPolicy.DEFAULT).sentence())
        .isEqualTo("bbr, dctcp on the source, reno cubic here: something changes");
  }

  @Test
  void aNamedDifferenceRefusesAndAnIgnoredOneIsNotShown() {
    var refusing = new HostPolicy(HostPolicy.Cpu.SUPERSET, Set.of("t"), Set.of());
    assertThat(compared(Fit.EQUAL, "0", "2", refusing).verdict()).isEqualTo(Verdict.REFUSES);
    var ignoring = new HostPolicy(HostPolicy.Cpu.SUPERSET, Set.of(), Set.of("t"));
    assertThat(HostComparison.of(host(List.of(), trait(Fit.EQUAL, "0")), host(List.of(), trait(Fit.EQUAL, "2")), ignoring))
        .extracting(HostDifference::name)
        .doesNotContain("t");
  }

  @Test
  void moreCpuFeaturesFitUnlessTheSameAreAskedFor() {
    var small = host(List.of("avx2"), new HostTrait(HostTraits.CPU_MODEL, "A 1", Fit.EQUAL, "x"));
    var large = host(List.of("avx2", "avx512f"), new HostTrait(HostTraits.CPU_MODEL, "A 2", Fit.EQUAL, "x"));
    var exact = new HostPolicy(HostPolicy.Cpu.EXACT, Set.of(), Set.of());
    assertThat(HostDifference.findings(HostComparison.of(small, large, HostPolicy.DEFAULT), Verdict.REFUSES)).isEmpty();
    assertThat(HostDifference.findings(HostComparison.of(small, large, HostPolicy.DEFAULT), Verdict.WARNS)).extracting(Finding::kind).containsExactly("CPU model");
    assertThat(HostDifference.findings(HostComparison.of(small, large, exact), Verdict.REFUSES)).extracting(Finding::kind).containsExactly("CPU features", "CPU model");
    assertThat(HostDifference.findings(HostComparison.of(large, small, HostPolicy.DEFAULT), Verdict.REFUSES))
        .extracting(Finding::sentence)
        .containsExactly("this host's CPU lacks avx512f, which the container could have found on the source");
  }

  @Test
  void anotherSecurityLabelRefuses() {
    var confined = host(List.of(), new HostTrait(HostTraits.SECURITY_LABEL, "current=gantry (enforce)", Fit.EQUAL, "x"));
    var free = host(List.of(), new HostTrait(HostTraits.SECURITY_LABEL, "", Fit.EQUAL, "x"));
    assertThat(HostDifference.findings(HostComparison.of(confined, confined, HostPolicy.DEFAULT), Verdict.REFUSES)).isEmpty();
    assertThat(HostDifference.findings(HostComparison.of(confined, free, HostPolicy.DEFAULT), Verdict.REFUSES))
        .extracting(Finding::sentence)
        .containsExactly("current=gantry (enforce) on the source, none here: x");
  }

  @Test
  void everyRequiredThingThatIsMissingHereRefuses() {
    var here = new HostFacts("6.1.0", "amd64", List.of(), 2700, "w", 1, List.of(new HostFacts.Capability("X", false, true, "no X")), List.of());
    assertThat(HostDifference.findings(HostComparison.of(host(List.of()), here, HostPolicy.DEFAULT), Verdict.REFUSES))
        .extracting(Finding::kind)
        .containsExactly("XSAVE area", "vdso", "X");
  }

  @Test
  void aHostThatDoesNotTellMayOrMayNotFit() {
    var rows = HostComparison.of(host(List.of(), trait(Fit.EQUAL, "1")), host(List.of()), HostPolicy.DEFAULT);
    assertThat(rows.getLast().verdict()).isEqualTo(Verdict.WARNS);
  }

  @Test
  void thisHostTellsWhatItIsAndFitsItself() {
    var traits = new HostTraits().read();
    assertThat(traits).extracting(HostTrait::name).doesNotHaveDuplicates();
    for (String name : List.of(HostTraits.CPU_MODEL, "vm.max_map_count", "kernel.pid_max", "TCP congestion control", "control groups", "seccomp actions")) {
      assertThat(traits).filteredOn(trait -> trait.name().equals(name)).extracting(HostTrait::value).noneMatch(String::isBlank).hasSize(1);
    }
    var self = new HostFacts("", "", List.of(), 0, "", 0, List.of(), traits);
    assertThat(HostComparison.of(self, self, HostPolicy.DEFAULT)).extracting(HostDifference::verdict).containsOnly(Verdict.FITS);
  }
}
