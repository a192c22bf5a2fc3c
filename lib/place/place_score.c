/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/place/place_score.h"

static const uint64_t LN2 = 0x00b17217f7d1cf7au; /* ln 2, 56 fractional bits */

/* -ln(1 - i / 64), 56 fractional bits */
static const uint64_t ln_table[33] = {
	0x0000000000000000u, 0x000408159624d612u, 0x000820aec4f3a222u, 0x000c4a550a4fd9a2u,
	0x00108598b59e3a07u, 0x0014d3115d207eacu, 0x0019335e5d594989u, 0x001da727638446a2u,
	0x00222f1d044fc8f8u, 0x0026cbf9602b202cu, 0x002b7e80d6a87b64u, 0x00304782caa34783u,
	0x003527da7915b3c7u, 0x003a206fe4cabcf7u, 0x003f3238d96766f3u, 0x00445e3a089f91efu,
	0x0049a58844d36e4au, 0x004f0949dcccc60fu, 0x00548ab81ce28f5fu, 0x005a2b20fa71a850u,
	0x005febe8ef605470u, 0x0065ce8d0c4d5ab7u, 0x006bd4a549233742u, 0x0071ffe71d155325u,
	0x00785228689c9b36u, 0x007ecd62bde92211u, 0x008573b71682a7d2u, 0x008c47720791e533u,
	0x00934b1089a6dc94u, 0x009a81456cec642eu, 0x00a1ecff97c91e26u, 0x00a991713433c2bau,
	0x00b17217f7d1cf7au,
};

/* 1 / j for j = 8 .. 2, 64 fractional bits */
static const uint64_t inverse[] = {
	0x2000000000000000u, 0x2492492492492492u, 0x2aaaaaaaaaaaaaaau, 0x3333333333333333u,
	0x4000000000000000u, 0x5555555555555555u, 0x8000000000000000u,
};

static uint64_t mul_high(uint64_t a, uint64_t b)
{
	return (uint64_t)((unsigned __int128)a * b >> 64);
}

/* -ln(1 - g) for g < 2^-5 by its series; both with 64 fractional bits. */
static uint64_t ln_series(uint64_t g)
{
	uint64_t sum = inverse[0];

	for (unsigned i = 1; i < sizeof(inverse) / sizeof(inverse[0]); i++)
		sum = inverse[i] + mul_high(g, sum);
	return g + mul_high(g, mul_high(g, sum));
}

/*
 * 1 - x / 2^64 = 2^-halvings * (1 - f), f <= 1/2, and 1 - f = (1 - i/64) * (1 - g). Small x
 * stay exact (halvings and i are 0, g = f = x / 2^64), which matters, for the winners are small.
 */
uint64_t place_exp(uint64_t x)
{
	uint64_t rest = -x, f, g;
	unsigned halvings, i;

	if (x == 0)
		return 0;
	halvings = __builtin_clzll(rest);
	f = -(rest << halvings);
	i = f >> 58;
	g = ((f & (((uint64_t)1 << 58) - 1)) / (64 - i)) << 6;
	return halvings * LN2 + ln_table[i] + (ln_series(g) >> 8);
}
